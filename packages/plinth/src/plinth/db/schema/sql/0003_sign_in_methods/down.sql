-- Without their passkeys, accounts that have no other factor would be protected by the password
-- alone.
-- plinth: end sessions
-- squawk-ignore-file
DELETE FROM challenges;
DROP TABLE identities;
DROP TABLE passkeys;
DELETE FROM factors WHERE kind = 'passkey';
DELETE FROM recovery_codes WHERE NOT EXISTS (
    SELECT FROM factors WHERE factors.user_id = recovery_codes.user_id AND confirmed_at IS NOT NULL
);
ALTER TABLE sessions DROP COLUMN acting_user_id, DROP COLUMN acting_session_id;
ALTER TABLE challenges DROP COLUMN sealed, DROP COLUMN attempts;
