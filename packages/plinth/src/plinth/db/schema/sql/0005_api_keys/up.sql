-- API keys.

CREATE TABLE api_keys (
    id uuid NOT NULL,
    user_id bigint NOT NULL,
    name varchar(100) NOT NULL,
    hash bytea NOT NULL,
    scopes text [] NOT NULL,
    networks cidr [] DEFAULT '{}' NOT NULL,
    created_by bigint,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_on date,
    revoked_at timestamptz,
    revoked_reason varchar(50),
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT fk_api_keys_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT ck_api_keys_hash_is_sha256 CHECK (octet_length(hash) = 32),
    CONSTRAINT ck_api_keys_expires_after_creation CHECK (expires_at > created_at)
);

CREATE INDEX ix_api_keys_user_id ON api_keys (user_id, created_at DESC, id);
