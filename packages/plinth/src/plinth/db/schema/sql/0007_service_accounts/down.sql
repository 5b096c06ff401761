-- Without the table, a service account would be a user who may sign in.
-- squawk-ignore-file
DELETE FROM service_accounts;
DROP TRIGGER refuse_service_owner ON memberships;
DROP FUNCTION refuse_service_owner;
DROP TRIGGER refuse_service_session ON sessions;
DROP FUNCTION refuse_service_session;
DROP TABLE service_accounts;
DROP FUNCTION delete_service_user;
