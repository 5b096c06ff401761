-- squawk-ignore-file
DROP TABLE invitations;
DROP TABLE memberships;
DROP TABLE organizations;
DROP TABLE released_slugs;
DROP FUNCTION require_owner();
DROP FUNCTION release_slug();
DROP FUNCTION refuse_released_slug();
