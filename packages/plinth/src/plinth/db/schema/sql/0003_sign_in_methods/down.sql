-- Without their passkeys, accounts that have no other factor would be protected by the password
-- alone.
-- plinth: end sessions
-- squawk-ignore-file
DROP TABLE identities;
DROP TABLE passkeys;
DELETE FROM factors WHERE kind = 'passkey';
ALTER TABLE sessions DROP COLUMN acting_user_id, DROP COLUMN acting_session_id;
ALTER TABLE challenges DROP COLUMN sealed, DROP COLUMN attempts;
