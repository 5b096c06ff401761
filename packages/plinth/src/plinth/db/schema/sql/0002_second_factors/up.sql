-- Second factors, pending sign-ins, and how a session was authenticated.

-- Earlier sessions and those of code of version 2.0: one factor, authenticated when they began.
ALTER TABLE sessions
ADD COLUMN aal bigint DEFAULT 1 NOT NULL,
ADD COLUMN amr varchar(100) DEFAULT 'pwd' NOT NULL,
ADD COLUMN authenticated_at timestamptz;

CREATE TABLE factors (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id bigint NOT NULL,
    kind varchar(20) NOT NULL,
    name varchar(100) NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    confirmed_at timestamptz,
    last_used_at timestamptz,
    CONSTRAINT pk_factors PRIMARY KEY (id),
    CONSTRAINT fk_factors_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX ix_factors_user_id ON factors (user_id, created_at, id);
CREATE INDEX ix_factors_confirmed ON factors (user_id) WHERE confirmed_at IS NOT NULL;

CREATE TABLE totp_secrets (
    factor_id uuid NOT NULL,
    key_id varchar(16) NOT NULL,
    sealed bytea NOT NULL,
    last_step bigint DEFAULT 0 NOT NULL,
    CONSTRAINT pk_totp_secrets PRIMARY KEY (factor_id),
    CONSTRAINT fk_totp_secrets_factor_id FOREIGN KEY (factor_id) REFERENCES factors (id)
    ON DELETE CASCADE
);

CREATE TABLE recovery_codes (
    user_id bigint NOT NULL,
    code_hash bytea NOT NULL,
    CONSTRAINT pk_recovery_codes PRIMARY KEY (user_id, code_hash),
    CONSTRAINT fk_recovery_codes_user_id FOREIGN KEY (user_id) REFERENCES users (id)
    ON DELETE CASCADE
);

CREATE TABLE challenges (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    kind varchar(20) NOT NULL,
    user_id bigint,
    secret_hash bytea NOT NULL,
    browser_hash bytea,
    credential_epoch bigint,
    amr varchar(100) DEFAULT '' NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_challenges PRIMARY KEY (id),
    CONSTRAINT fk_challenges_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX ix_challenges_user_id ON challenges (user_id, kind, created_at DESC);
CREATE INDEX ix_challenges_expires_at ON challenges (expires_at);

-- Code that does not know factors, such as version 2.0 during a rolling deployment, cannot start a
-- session of an account that has one. A function, because its query has its own snapshot: it sees
-- a factor that was confirmed while the sign-in waited for the lock on the user.
CREATE FUNCTION require_second_factor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM factors WHERE factors.user_id = NEW.user_id AND confirmed_at IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'user % has a second factor, and this session has one factor', NEW.user_id
        USING ERRCODE = 'serialization_failure', CONSTRAINT = 'require_second_factor';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER require_second_factor BEFORE INSERT OR UPDATE OF aal, user_id ON sessions
FOR EACH ROW WHEN (NEW.aal < 2) EXECUTE FUNCTION require_second_factor();
