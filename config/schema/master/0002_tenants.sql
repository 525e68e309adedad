-- One row a school: its identity (which outlives the School object) and the route to its database.
-- The operator writes it; every API replica holds all of it in memory.
-- The seed's columns in snake_case, then what routing needs; times are timestamptz, because servers sit in many zones.

CREATE TABLE registry.tenants (
    id                      uuid         PRIMARY KEY DEFAULT gen_random_uuid(),
    name                    varchar(200) NOT NULL
        CONSTRAINT tenants_name_length CHECK (char_length(btrim(name)) >= 1),
    code                    varchar(50)  NOT NULL
        CONSTRAINT tenants_code_format CHECK (code ~ '^[a-z][a-z0-9-]{0,38}[a-z0-9]$'),
    email                   varchar(200) NOT NULL,
    phone_number            varchar(20),
    connection_string       text         NOT NULL GENERATED ALWAYS AS (
        CASE WHEN host IS NULL OR port IS NULL OR database_name IS NULL OR login IS NULL THEN ''
             ELSE 'Host=' || host || ';Port=' || port::text || ';Database=' || database_name || ';Username=' || login
                  || CASE tls_mode WHEN 'disable' THEN ';SSL Mode=Disable' WHEN 'require' THEN ';SSL Mode=Require'
                         WHEN 'verify-ca' THEN ';SSL Mode=VerifyCA' WHEN 'verify-full' THEN ';SSL Mode=VerifyFull' ELSE '' END
        END) STORED,
    is_active               boolean      NOT NULL DEFAULT false,
    activated_at            timestamptz,
    created_at              timestamptz  NOT NULL DEFAULT now(),
    updated_at              timestamptz  NOT NULL DEFAULT now(),
    is_deleted              boolean      NOT NULL DEFAULT false,

    school_uid              uuid,
    cluster_uid             uuid,
    school_namespace        text,
    school_name             text,
    state                   text         NOT NULL DEFAULT 'provisioning'
        CONSTRAINT tenants_state_known CHECK (state IN
            ('provisioning', 'active', 'suspended', 'moving', 'retained', 'deleted')),
    server                  text,
    host                    text         CONSTRAINT tenants_host_format CHECK (host ~ '^[A-Za-z0-9._:/-]{1,253}$'),
    port                    int          CONSTRAINT tenants_port_range CHECK (port BETWEEN 1 AND 65535),
    database_name           text
        CONSTRAINT tenants_database_name_format CHECK (database_name ~ '^[a-z][a-z0-9_]{0,62}$'),
    login                   text         CONSTRAINT tenants_login_format CHECK (login ~ '^[a-z][a-z0-9_]{0,62}$'),
    tls_mode                text
        CONSTRAINT tenants_tls_mode_known CHECK (tls_mode IN ('disable', 'require', 'verify-ca', 'verify-full')),
    tls_ca                  text         CONSTRAINT tenants_tls_ca_format CHECK (tls_ca LIKE '%-----BEGIN CERTIFICATE-----%'),
    credentials             bytea,
    key_id                  text,
    pool_size               int          NOT NULL DEFAULT 100
        CONSTRAINT tenants_pool_size_range CHECK (pool_size BETWEEN 1 AND 10000),
    connect_timeout_seconds int          NOT NULL DEFAULT 30
        CONSTRAINT tenants_connect_timeout_seconds_range CHECK (connect_timeout_seconds BETWEEN 1 AND 3600),
    command_timeout_seconds int          NOT NULL DEFAULT 60
        CONSTRAINT tenants_command_timeout_seconds_range CHECK (command_timeout_seconds BETWEEN 1 AND 3600),
    pooling                 boolean      NOT NULL DEFAULT true,
    schema_version          int,
    epoch                   bigint       NOT NULL DEFAULT 0,
    change_seq              bigint       NOT NULL,

    CONSTRAINT tenants_is_active_state CHECK (is_active = (state = 'active')),
    CONSTRAINT tenants_is_deleted_state CHECK (is_deleted = (state = 'deleted')),
    CONSTRAINT tenants_state_routed CHECK (state <> 'active'
        OR num_nulls(server, host, port, database_name, login, credentials, activated_at) = 0),
    CONSTRAINT tenants_key_id_sealed CHECK ((credentials IS NULL) = (key_id IS NULL))
);
COMMENT ON TABLE registry.tenants IS 'Schools and the routes to their databases.';
COMMENT ON COLUMN registry.tenants.id IS 'The tenant''s identity, chosen by the operator before its first side effect.';
COMMENT ON COLUMN registry.tenants.code IS 'The short name in URLs and headers; free again once the tenant is deleted.';
COMMENT ON COLUMN registry.tenants.connection_string IS
    'The seed''s column for people and for ADO.NET clients: made from the route, so that it cannot disagree with it; without password; empty while there is no route (the seed says NOT NULL).';
COMMENT ON COLUMN registry.tenants.school_uid IS 'metadata.uid of the School object; changes when a retained tenant is adopted by a new one.';
COMMENT ON COLUMN registry.tenants.cluster_uid IS 'uid of the kube-system namespace: two clusters may share one master database.';
COMMENT ON COLUMN registry.tenants.server IS 'Name of the DatabaseServer object.';
COMMENT ON COLUMN registry.tenants.tls_ca IS
    'The server''s certificate authority (PEM), which the API cannot read from Kubernetes; null: the authorities its image trusts.';
COMMENT ON COLUMN registry.tenants.credentials IS 'Login and password sealed by an AEAD, tenant id as associated data; null until written.';
COMMENT ON COLUMN registry.tenants.key_id IS 'Which mounted key sealed credentials.';
COMMENT ON COLUMN registry.tenants.epoch IS 'Grows with every change of the route or its credentials: connections of an older epoch are closed.';
COMMENT ON COLUMN registry.tenants.change_seq IS
    'Grows with every write, in commit order (registry.serialise_tenant_writes): a reader that has seen n misses nothing with change_seq > n.';

-- The seed's index is also its UNIQUE(code), narrowed: a deleted school must free its code.
CREATE UNIQUE INDEX idx_tenants_code ON registry.tenants (code) WHERE NOT is_deleted;
CREATE INDEX idx_tenants_active ON registry.tenants (is_active) WHERE NOT is_deleted;
CREATE UNIQUE INDEX tenants_database_name_key ON registry.tenants (server, database_name) WHERE NOT is_deleted;
CREATE UNIQUE INDEX tenants_school_uid_key ON registry.tenants (cluster_uid, school_uid)
    WHERE state NOT IN ('deleted', 'retained');
CREATE UNIQUE INDEX tenants_change_seq_key ON registry.tenants (change_seq);

GRANT SELECT ON registry.tenants TO dailycare_api;
