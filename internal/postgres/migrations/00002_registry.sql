-- +goose Up

-- Who may talk to the hub. Rows are never deleted: events name them for years. environment is
-- 1 PROD, 2 TEST.
CREATE TABLE hub.ente (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  code text NOT NULL CHECK (code ~ '^[A-Za-z0-9._:/-]{1,36}$'),
  zone text NOT NULL CHECK (zone ~ '^[A-Za-z0-9._:/-]{1,36}$'),
  -- the region in the alphabetical SINBA list; Toscana is 17
  region text NOT NULL CHECK (region ~ '^(0[1-9]|1[0-9]|2[01])$'),
  updated_at timestamptz NOT NULL DEFAULT hub.hub_now(),
  UNIQUE (environment, code),
  UNIQUE (id, environment)
);

CREATE TABLE hub.product (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  vendor text NOT NULL CHECK (length(vendor) BETWEEN 1 AND 50),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 50),
  -- empty: any version
  version text NOT NULL CHECK (length(version) <= 20),
  certificate text NOT NULL CHECK (certificate ~ '^[A-Za-z0-9._:/-]{0,36}$'),
  -- the contract version it is certified for
  contract_version text NOT NULL CHECK (contract_version ~ '^[0-9]{1,3}$'),
  UNIQUE (environment, vendor, name, version, contract_version),
  UNIQUE (id, environment)
);

CREATE TABLE hub.participant (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  -- a label of logs and metrics: short, and nobody's name
  name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,39}$'),
  api_user text NOT NULL CHECK (length(api_user) BETWEEN 1 AND 100),
  -- of 256 random bits, so a plain digest is as strong as the password
  password_sha256 bytea NOT NULL CHECK (octet_length(password_sha256) = 32),
  updated_at timestamptz NOT NULL DEFAULT hub.hub_now(),
  UNIQUE (environment, name),
  UNIQUE (environment, api_user),
  UNIQUE (id, environment)
);

-- The environment stands in both keys: a participant of TEST cannot be given an ente of PROD.
CREATE TABLE hub.participant_ente (
  participant_id integer NOT NULL,
  ente_id integer NOT NULL,
  environment smallint NOT NULL,
  PRIMARY KEY (participant_id, ente_id),
  FOREIGN KEY (participant_id, environment) REFERENCES hub.participant (id, environment),
  FOREIGN KEY (ente_id, environment) REFERENCES hub.ente (id, environment)
);

CREATE TABLE hub.participant_product (
  participant_id integer NOT NULL,
  product_id integer NOT NULL,
  environment smallint NOT NULL,
  PRIMARY KEY (participant_id, product_id),
  FOREIGN KEY (participant_id, environment) REFERENCES hub.participant (id, environment),
  FOREIGN KEY (product_id, environment) REFERENCES hub.product (id, environment)
);

GRANT SELECT, INSERT, UPDATE ON hub.ente, hub.product, hub.participant TO hub_app;
GRANT SELECT, INSERT, DELETE ON hub.participant_ente, hub.participant_product TO hub_app;
