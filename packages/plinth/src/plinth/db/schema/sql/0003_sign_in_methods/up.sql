-- Passkeys, identities of identity providers, and sessions of a superuser who impersonates a user.

ALTER TABLE sessions
ADD COLUMN acting_user_id bigint,
ADD COLUMN acting_session_id uuid;

ALTER TABLE challenges
ADD COLUMN sealed bytea,
ADD COLUMN attempts bigint DEFAULT 0 NOT NULL;

CREATE TABLE passkeys (
    factor_id uuid NOT NULL,
    credential_id bytea NOT NULL,
    user_handle bytea NOT NULL,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    aaguid uuid NOT NULL,
    transports varchar(100) DEFAULT '' NOT NULL,
    is_user_verified boolean NOT NULL,
    is_backup_eligible boolean NOT NULL,
    is_backed_up boolean NOT NULL,
    CONSTRAINT pk_passkeys PRIMARY KEY (factor_id),
    CONSTRAINT uq_passkeys_credential_id UNIQUE (credential_id),
    CONSTRAINT fk_passkeys_factor_id FOREIGN KEY (factor_id) REFERENCES factors (id)
    ON DELETE CASCADE
);

CREATE TABLE identities (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id bigint NOT NULL,
    provider varchar(50) NOT NULL,
    issuer varchar(255) NOT NULL,
    subject varchar(255) NOT NULL,
    email varchar(255),
    created_at timestamptz DEFAULT now() NOT NULL,
    last_used_at timestamptz,
    CONSTRAINT pk_identities PRIMARY KEY (id),
    CONSTRAINT uq_identities_issuer_subject UNIQUE (issuer, subject),
    CONSTRAINT fk_identities_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX ix_identities_user_id ON identities (user_id, created_at, id);
