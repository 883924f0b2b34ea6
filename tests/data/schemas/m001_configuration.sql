PRAGMA application_id = 1347568495;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'provider-router','m001_configuration','2026-11-27 01:18:46.813052+00:00');
CREATE TABLE changes (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL CONSTRAINT "at is whole milliseconds" CHECK (typeof(at) = 'integer'),
        who TEXT NOT NULL CONSTRAINT "who is not empty" CHECK (who <> ''),
        what TEXT NOT NULL CONSTRAINT "what is not empty" CHECK (what <> ''),
        noun TEXT NOT NULL CONSTRAINT "noun is not empty" CHECK (noun <> ''),
        subject TEXT NOT NULL,
        before TEXT CONSTRAINT "before is JSON" CHECK (before IS NULL OR json_valid(before)),
        after TEXT CONSTRAINT "after is JSON" CHECK (after IS NULL OR json_valid(after)),
        providers TEXT CONSTRAINT "providers is a JSON array" CHECK (json_type(providers) = 'array'),
        models TEXT CONSTRAINT "models is a JSON array" CHECK (json_type(models) = 'array')
    );
INSERT INTO "changes" VALUES(1,1795742326851,'python','added provider desk of type lm-studio','provider','desk',NULL,'{"provider":[{"id":"desk","name":"desk","type":"lm-studio","enabled":1,"priority":0,"description":null,"created_at":1795742324780,"updated_at":1795742324780}],"option":[{"provider_id":"desk","key":"apiKey","value":"env:DESK_KEY","kind":"reference","is_sensitive":1,"created_at":1795742326850,"updated_at":1795742326850},{"provider_id":"desk","key":"baseURL","value":"http://localhost:1234/v1","kind":"text","is_sensitive":0,"created_at":1795742326850,"updated_at":1795742326850},{"provider_id":"desk","key":"timeout","value":"30000","kind":"int","is_sensitive":0,"created_at":1795742326850,"updated_at":1795742326850}]}','["desk"]','[]');
INSERT INTO "changes" VALUES(2,1795742326861,'python','added model pelican','model','pelican',NULL,'{"model":[{"id":"pelican","name":"pelican","description":null,"capabilities":null,"alias_of":null,"fallbacks":null,"zone":null,"created_at":1795742326860,"updated_at":1795742326860}]}','[]','["pelican"]');
INSERT INTO "changes" VALUES(3,1795742326878,'python','linked model pelican to provider desk','link','desk pelican',NULL,'{"link":[{"provider_id":"desk","model_id":"pelican","is_default":1,"config":null,"created_at":1795742326876,"updated_at":1795742326876}]}','["desk"]','[]');
INSERT INTO "changes" VALUES(4,1795742326885,'python','set routing.maxWait','setting','routing.maxWait',NULL,'{"setting":[{"key":"routing.maxWait","value":"5000","kind":"int","updated_at":1795742326}]}','[]','[]');
INSERT INTO "changes" VALUES(5,1795742326891,'python','set active_provider','setting','active_provider',NULL,'{"setting":[{"key":"active_provider","value":"desk","kind":"text","updated_at":1795742326}]}','[]','[]');
INSERT INTO "changes" VALUES(6,1795742326908,'python','set the credentials','credential','qwen',NULL,'{"credential":[{"token":"env:TOKEN","cookies":"env:COOKIES","expires_at":null,"id":1,"created_at":1795742326907,"updated_at":1795742326907}]}','[]','[]');
INSERT INTO "changes" VALUES(7,1795742326914,'python','changed priority of provider desk','provider','desk','{"provider":[{"id":"desk","name":"desk","type":"lm-studio","enabled":1,"priority":0,"description":null,"created_at":1795742324780,"updated_at":1795742324780}]}','{"provider":[{"id":"desk","name":"desk","type":"lm-studio","enabled":1,"priority":7,"description":null,"created_at":1795742324780,"updated_at":1795742326913}]}','["desk"]','[]');
CREATE TABLE models (
        id TEXT PRIMARY KEY NOT NULL CONSTRAINT "id is not empty" CHECK (id <> ''),
        name TEXT NOT NULL CONSTRAINT "name is not empty" CHECK (name <> ''),
        description TEXT,
        capabilities TEXT CONSTRAINT "capabilities is a JSON array" CHECK (json_type(capabilities) = 'array'),
        created_at INTEGER NOT NULL CONSTRAINT "created_at is whole milliseconds" CHECK (typeof(created_at) = 'integer'),
        updated_at INTEGER NOT NULL CONSTRAINT "updated_at is whole milliseconds" CHECK (typeof(updated_at) = 'integer'),
        alias_of TEXT CONSTRAINT "a model is no alias of itself" CHECK (alias_of <> id),
        fallbacks TEXT CONSTRAINT "fallbacks is a JSON array" CHECK (json_type(fallbacks) = 'array'),
        zone TEXT CONSTRAINT "zone is loopback, lan or internet" CHECK (zone IN ('loopback', 'lan', 'internet'))
    );
INSERT INTO "models" VALUES('pelican','pelican',NULL,NULL,1795742326860,1795742326860,NULL,NULL,NULL);
CREATE TABLE provider_configs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        provider_id TEXT NOT NULL,
        key TEXT NOT NULL CONSTRAINT "key is not empty" CHECK (key <> ''),
        value TEXT NOT NULL,
        is_sensitive BOOLEAN NOT NULL DEFAULT 0 CONSTRAINT "is_sensitive is 0 or 1" CHECK (is_sensitive IN (0, 1)),
        created_at INTEGER NOT NULL CONSTRAINT "created_at is whole milliseconds" CHECK (typeof(created_at) = 'integer'),
        updated_at INTEGER NOT NULL CONSTRAINT "updated_at is whole milliseconds" CHECK (typeof(updated_at) = 'integer'),
        kind TEXT NOT NULL DEFAULT 'text' CONSTRAINT "kind is text, int, float, bool, json or reference" CHECK (kind IN ('text', 'int', 'float', 'bool', 'json', 'reference')),
        FOREIGN KEY (provider_id) REFERENCES providers(id) ON DELETE CASCADE,
        UNIQUE (provider_id, key),
        CONSTRAINT "a sensitive option holds a reference, never the secret"
            CHECK (is_sensitive = 0 OR kind = 'reference')
    );
INSERT INTO "provider_configs" VALUES(1,'desk','apiKey','env:DESK_KEY',1,1795742326850,1795742326850,'reference');
INSERT INTO "provider_configs" VALUES(2,'desk','baseURL','http://localhost:1234/v1',0,1795742326850,1795742326850,'text');
INSERT INTO "provider_configs" VALUES(3,'desk','timeout','30000',0,1795742326850,1795742326850,'int');
CREATE TABLE provider_models (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        provider_id TEXT NOT NULL,
        model_id TEXT NOT NULL,
        is_default BOOLEAN NOT NULL DEFAULT 0 CONSTRAINT "is_default is 0 or 1" CHECK (is_default IN (0, 1)),
        config TEXT CONSTRAINT "config is a JSON object" CHECK (json_type(config) = 'object'),
        created_at INTEGER NOT NULL CONSTRAINT "created_at is whole milliseconds" CHECK (typeof(created_at) = 'integer'),
        updated_at INTEGER NOT NULL CONSTRAINT "updated_at is whole milliseconds" CHECK (typeof(updated_at) = 'integer'),
        FOREIGN KEY (provider_id) REFERENCES providers(id) ON DELETE CASCADE,
        FOREIGN KEY (model_id) REFERENCES models(id) ON DELETE CASCADE,
        UNIQUE (provider_id, model_id)
    );
INSERT INTO "provider_models" VALUES(1,'desk','pelican',1,NULL,1795742326876,1795742326876);
CREATE TABLE providers (
        id TEXT PRIMARY KEY NOT NULL CONSTRAINT "id is not empty" CHECK (id <> ''),
        name TEXT NOT NULL CONSTRAINT "name is not empty" CHECK (name <> ''),
        type TEXT NOT NULL CONSTRAINT "type is not empty" CHECK (type <> ''),
        enabled BOOLEAN NOT NULL DEFAULT 1 CONSTRAINT "enabled is 0 or 1" CHECK (enabled IN (0, 1)),
        priority INTEGER NOT NULL DEFAULT 0
            CONSTRAINT "priority is a whole number" CHECK (typeof(priority) = 'integer'),
        description TEXT,
        created_at INTEGER NOT NULL CONSTRAINT "created_at is whole milliseconds" CHECK (typeof(created_at) = 'integer'),
        updated_at INTEGER NOT NULL CONSTRAINT "updated_at is whole milliseconds" CHECK (typeof(updated_at) = 'integer'),
        UNIQUE (name)
    );
INSERT INTO "providers" VALUES('desk','desk','lm-studio',1,7,NULL,1795742324780,1795742326913);
CREATE TABLE qwen_credentials (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        token TEXT NOT NULL CONSTRAINT "token is a secret's reference" CHECK (token GLOB 'env:*' OR token GLOB 'file:*' OR token GLOB 'keyring:*' OR token GLOB 'cmd:*' OR token GLOB 'secret:*'),
        cookies TEXT NOT NULL CONSTRAINT "cookies is a secret's reference" CHECK (cookies GLOB 'env:*' OR cookies GLOB 'file:*' OR cookies GLOB 'keyring:*' OR cookies GLOB 'cmd:*' OR cookies GLOB 'secret:*'),
        expires_at INTEGER CONSTRAINT "expires_at is whole milliseconds"
            CHECK (expires_at IS NULL OR typeof(expires_at) = 'integer'),
        created_at INTEGER NOT NULL CONSTRAINT "created_at is whole milliseconds" CHECK (typeof(created_at) = 'integer'),
        updated_at INTEGER NOT NULL CONSTRAINT "updated_at is whole milliseconds" CHECK (typeof(updated_at) = 'integer')
    );
INSERT INTO "qwen_credentials" VALUES(1,'env:TOKEN','env:COOKIES',NULL,1795742326907,1795742326907);
CREATE TABLE settings (
        key TEXT PRIMARY KEY NOT NULL CONSTRAINT "key is not empty" CHECK (key <> ''),
        value TEXT NOT NULL,
        updated_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now') + 0)
            CONSTRAINT "updated_at is whole seconds" CHECK (typeof(updated_at) = 'integer'),
        kind TEXT NOT NULL DEFAULT 'text' CONSTRAINT "kind is text, int, float, bool, json or reference" CHECK (kind IN ('text', 'int', 'float', 'bool', 'json', 'reference'))
    );
INSERT INTO "settings" VALUES('routing.maxWait','5000',1795742326,'int');
INSERT INTO "settings" VALUES('active_provider','desk',1795742326,'text');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX idx_providers_type ON providers(type);
CREATE INDEX idx_providers_enabled ON providers(enabled);
CREATE INDEX idx_providers_priority ON providers(priority DESC);
CREATE INDEX idx_provider_configs_provider_id ON provider_configs(provider_id);
CREATE INDEX idx_provider_models_provider_id ON provider_models(provider_id);
CREATE INDEX idx_provider_models_model_id ON provider_models(model_id);
CREATE UNIQUE INDEX idx_provider_models_one_default ON provider_models(provider_id) WHERE is_default = 1;
CREATE INDEX idx_qwen_credentials_expires ON qwen_credentials(expires_at);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('provider_configs',3);
INSERT INTO "sqlite_sequence" VALUES('changes',7);
INSERT INTO "sqlite_sequence" VALUES('provider_models',1);
INSERT INTO "sqlite_sequence" VALUES('qwen_credentials',1);
COMMIT;
