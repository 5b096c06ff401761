-- Run once, by the superuser, when the volume is new. The migrations create the same extensions, for
-- every database that this folder never sees (a managed one, a restored one, an old volume); here it is
-- done too so that the application may later be given a role that is not allowed to create any.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;
