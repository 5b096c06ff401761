-- Service accounts of organizations: users who cannot sign in.

CREATE TABLE service_accounts (
    user_id bigint NOT NULL,
    organization_id bigint NOT NULL,
    name varchar(100) NOT NULL,
    created_by bigint,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_service_accounts PRIMARY KEY (user_id),
    CONSTRAINT fk_service_accounts_organization_id_user_id
    FOREIGN KEY (organization_id, user_id) REFERENCES memberships (organization_id, user_id)
    ON DELETE CASCADE
);

CREATE INDEX ix_service_accounts_organization_id ON service_accounts (
    organization_id, created_at, user_id
);

-- With its membership, a service account is deleted, and with it its user and the user's keys.
CREATE FUNCTION delete_service_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM users WHERE id = OLD.user_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER delete_service_user AFTER DELETE ON service_accounts
FOR EACH ROW EXECUTE FUNCTION delete_service_user();

CREATE FUNCTION refuse_service_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM service_accounts WHERE service_accounts.user_id = NEW.user_id) THEN
        RAISE EXCEPTION 'user % is a service account, which cannot sign in', NEW.user_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_sessions_service_account';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER refuse_service_session BEFORE INSERT OR UPDATE OF user_id ON sessions
FOR EACH ROW EXECUTE FUNCTION refuse_service_session();

-- An owner must be able to sign in, to make another member an owner.
CREATE FUNCTION refuse_service_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM service_accounts WHERE service_accounts.user_id = NEW.user_id) THEN
        RAISE EXCEPTION 'user % is a service account, which cannot be an owner', NEW.user_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_memberships_service_owner';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER refuse_service_owner BEFORE INSERT OR UPDATE OF role ON memberships
FOR EACH ROW WHEN (NEW.role = 'owner') EXECUTE FUNCTION refuse_service_owner();
