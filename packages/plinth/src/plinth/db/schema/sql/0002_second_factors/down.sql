-- Without the factors, their accounts would be protected by the password alone.
-- plinth: end sessions
-- squawk-ignore-file
DROP TRIGGER require_second_factor ON sessions;
DROP FUNCTION require_second_factor();
DROP TABLE challenges;
DROP TABLE recovery_codes;
DROP TABLE totp_secrets;
DROP TABLE factors;
ALTER TABLE sessions DROP COLUMN aal, DROP COLUMN amr, DROP COLUMN authenticated_at;
