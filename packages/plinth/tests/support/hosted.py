"""Connection strings of hosted services, in the format of each service.

The hosts and the credentials are invented. `{ca}`, `{crt}` and `{key}` are placeholders for files
that the service provides.
"""

from typing import NamedTuple


class Hosted(NamedTuple):
    service: str
    url: str
    user: str | None
    password: str | None
    hosts: str
    database: str | None
    tls: str
    """`sslmode` for PostgreSQL; `plain`, `checked` or `unchecked` (certificate) for Redis."""


NEON = "ep-cool-darkness-a1b2c3d4.us-east-2.aws.neon.tech"
POOLER = "ep-cool-darkness-a1b2c3d4-pooler.us-east-2.aws.neon.tech"
SUPABASE = "aws-0-eu-central-1.pooler.supabase.com"
REF = "abcdefghijklmnopqrst"
DO = "db-postgresql-fra1-12345-do-user-1234567-0.b.db.ondigitalocean.com"
RDS = "mydb.c9akciq32rpe.eu-central-1.rds.amazonaws.com"
AURORA = "aurora.cluster-c9akciq32rpe.eu-central-1.rds.amazonaws.com"
READER = "aurora.cluster-ro-c9akciq32rpe.eu-central-1.rds.amazonaws.com"
AZURE = "shop.postgres.database.azure.com"
COCKROACH = "blue-fish-1234.5xj.gcp-us-central1.cockroachlabs.cloud"
FULL, CA, REQUIRE, PREFER, OFF = "verify-full", "verify-ca", "require", "prefer", "disable"
BOUND = "sslmode=require&channel_binding=require"

POSTGRES = [
    Hosted("Neon", f"postgresql://neondb_owner:npg_Ab1@{NEON}/neondb?{BOUND}",
           "neondb_owner", "npg_Ab1", f"{NEON}:5432", "neondb", FULL),
    Hosted("Neon, pooled", f"postgresql://neondb_owner:npg_Ab1@{POOLER}/neondb?{BOUND}",
           "neondb_owner", "npg_Ab1", f"{POOLER}:5432", "neondb", FULL),
    Hosted("Neon, earlier", f"postgres://alex:AbC123@{NEON}/neondb?sslmode=require",
           "alex", "AbC123", f"{NEON}:5432", "neondb", REQUIRE),
    Hosted("Neon, endpoint", f"postgresql://alex:AbC123@{NEON}/neondb?sslmode=require"
           "&options=endpoint%3Dep-cool-darkness-a1b2c3d4&connect_timeout=10",
           "alex", "AbC123", f"{NEON}:5432", "neondb", REQUIRE),
    Hosted("Vercel", f"postgres://default:pw1@{POOLER}:5432/verceldb?sslmode=require",
           "default", "pw1", f"{POOLER}:5432", "verceldb", REQUIRE),
    Hosted("Supabase", f"postgresql://postgres:pw%21@db.{REF}.supabase.co:5432/postgres",
           "postgres", "pw!", f"db.{REF}.supabase.co:5432", "postgres", PREFER),
    Hosted("Supabase, session", f"postgres://postgres.{REF}:pw@{SUPABASE}:5432/postgres",
           f"postgres.{REF}", "pw", f"{SUPABASE}:5432", "postgres", PREFER),
    Hosted("Supabase, transaction", f"postgresql://postgres.{REF}:pw@{SUPABASE}:6543/postgres",
           f"postgres.{REF}", "pw", f"{SUPABASE}:6543", "postgres", PREFER),
    Hosted("Supabase, verified", f"postgresql://postgres:pw@db.{REF}.supabase.co:5432/postgres"
           "?sslmode=verify-full&sslrootcert={ca}",
           "postgres", "pw", f"db.{REF}.supabase.co:5432", "postgres", FULL),
    Hosted("Heroku", "postgres://u1:p0123@ec2-34-200-1-2.compute-1.amazonaws.com:5432/d1",
           "u1", "p0123", "ec2-34-200-1-2.compute-1.amazonaws.com:5432", "d1", PREFER),
    Hosted("Heroku, TLS", "postgres://u1:p0123@c1.cluster-czz5.us-east-1.rds.amazonaws.com:5432/d1"
           "?sslmode=require",
           "u1", "p0123", "c1.cluster-czz5.us-east-1.rds.amazonaws.com:5432", "d1", REQUIRE),
    Hosted("Render, outside", "postgresql://app:pw@dpg-c1a-a.oregon-postgres.render.com/app_db",
           "app", "pw", "dpg-c1a-a.oregon-postgres.render.com:5432", "app_db", PREFER),
    Hosted("Render, inside", "postgresql://app:pw@dpg-c1a-a/app_db",
           "app", "pw", "dpg-c1a-a:5432", "app_db", PREFER),
    Hosted("Fly", "postgres://shop:pw@shop-db.flycast:5432/shop?sslmode=disable",
           "shop", "pw", "shop-db.flycast:5432", "shop", OFF),
    Hosted("Fly, nearest", "postgres://postgres:pw@top2.nearest.of.shop-db.internal:5433",
           "postgres", "pw", "top2.nearest.of.shop-db.internal:5433", None, PREFER),
    Hosted("Fly, managed", "postgresql://fly-user:pw@pgbouncer.kj3v.flympg.net/fly-db",
           "fly-user", "pw", "pgbouncer.kj3v.flympg.net:5432", "fly-db", PREFER),
    Hosted("RDS", f"postgresql://app:p%40ss@{RDS}:5432/app?sslmode=verify-full&sslrootcert={{ca}}",
           "app", "p@ss", f"{RDS}:5432", "app", FULL),
    Hosted("RDS, required", f"postgresql://app:pw@{RDS}:5432/app?sslmode=require",
           "app", "pw", f"{RDS}:5432", "app", REQUIRE),
    Hosted("Aurora", f"postgresql://app:pw@{AURORA},{READER}/app"
           "?target_session_attrs=read-write&sslmode=verify-full&sslrootcert={ca}",
           "app", "pw", f"{AURORA}:5432,{READER}:5432", "app", FULL),
    Hosted("Azure", f"postgresql://app:pw@{AZURE}:5432/postgres?sslmode=require",
           "app", "pw", f"{AZURE}:5432", "postgres", REQUIRE),
    Hosted("Azure, single server", f"postgres://app%40shop:pw@{AZURE}/postgres?sslmode=require",
           "app@shop", "pw", f"{AZURE}:5432", "postgres", REQUIRE),
    Hosted("Azure, PgBouncer", f"postgresql://app:pw@{AZURE}:6432/shop?sslmode=require",
           "app", "pw", f"{AZURE}:6432", "shop", REQUIRE),
    Hosted("Azure, verified", f"postgresql://app:pw@{AZURE}/shop?sslmode=verify-full"
           "&sslrootcert=system",
           "app", "pw", f"{AZURE}:5432", "shop", FULL),
    Hosted("Cloud SQL, proxy", "postgresql://app:pw@/app?host=/cloudsql/proj:europe-west1:main",
           "app", "pw", "/cloudsql/proj:europe-west1:main:5432", "app", PREFER),
    Hosted("Cloud SQL", "postgresql://app:pw@10.20.0.3:5432/app?sslmode=verify-ca"
           "&sslrootcert={ca}&sslcert={crt}&sslkey={key}",
           "app", "pw", "10.20.0.3:5432", "app", CA),
    Hosted("DigitalOcean", f"postgresql://doadmin:AVNS_x1@{DO}:25060/defaultdb?sslmode=require",
           "doadmin", "AVNS_x1", f"{DO}:25060", "defaultdb", REQUIRE),
    Hosted("DigitalOcean, pool", f"postgresql://doadmin:AVNS_x1@{DO}:25061/pool?sslmode=require",
           "doadmin", "AVNS_x1", f"{DO}:25061", "pool", REQUIRE),
    Hosted("Aiven", "postgres://avnadmin:AVNS_y@pg-1a2b-shop.a.aivencloud.com:12691/defaultdb"
           "?sslmode=require",
           "avnadmin", "AVNS_y", "pg-1a2b-shop.a.aivencloud.com:12691", "defaultdb", REQUIRE),
    Hosted("Railway, inside", "postgresql://postgres:pw@postgres.railway.internal:5432/railway",
           "postgres", "pw", "postgres.railway.internal:5432", "railway", PREFER),
    Hosted("Railway, outside", "postgresql://postgres:pw@roundhouse.proxy.rlwy.net:41234/railway",
           "postgres", "pw", "roundhouse.proxy.rlwy.net:41234", "railway", PREFER),
    Hosted("CockroachDB", f"postgresql://max:pw@{COCKROACH}:26257/defaultdb?sslmode=verify-full"
           "&sslrootcert=system&options=--cluster%3Dblue-fish-1234",
           "max", "pw", f"{COCKROACH}:26257", "defaultdb", FULL),
    Hosted("Crunchy Bridge", "postgres://application:pw@p.ab12.db.postgresbridge.com:5432/postgres",
           "application", "pw", "p.ab12.db.postgresbridge.com:5432", "postgres", PREFER),
    Hosted("Timescale", "postgres://tsdbadmin:pw@a1.b2.tsdb.cloud.timescale.com:33333/tsdb"
           "?sslmode=require",
           "tsdbadmin", "pw", "a1.b2.tsdb.cloud.timescale.com:33333", "tsdb", REQUIRE),
    Hosted("Scaleway", "postgresql://shop:pw@51.159.10.20:12345/rdb?sslmode=verify-ca"
           "&sslrootcert={ca}",
           "shop", "pw", "51.159.10.20:12345", "rdb", CA),
    Hosted("OVH", "postgres://avnadmin:pw@postgresql-1a-o2b.database.cloud.ovh.net:20184/defaultdb"
           "?sslmode=require",
           "avnadmin", "pw", "postgresql-1a-o2b.database.cloud.ovh.net:20184", "defaultdb",
           REQUIRE),
    Hosted("IBM Cloud", "postgres://ibm_cloud_1a:pw@1a.2b.databases.appdomain.cloud:31525"
           "/ibmclouddb?sslmode=verify-full&sslrootcert={ca}",
           "ibm_cloud_1a", "pw", "1a.2b.databases.appdomain.cloud:31525", "ibmclouddb", FULL),
    Hosted("PlanetScale", "postgresql://pscale_api_1a:pscale_pw_2b@aws-eu.pg.psdb.cloud:5432/postgres"
           "?sslmode=verify-full&sslrootcert=system&sslnegotiation=direct",
           "pscale_api_1a", "pscale_pw_2b", "aws-eu.pg.psdb.cloud:5432", "postgres", FULL),
    Hosted("Prisma Postgres", "postgres://1a2b:sk_3c@db.prisma.io:5432/postgres?sslmode=require",
           "1a2b", "sk_3c", "db.prisma.io:5432", "postgres", REQUIRE),
    Hosted("Yugabyte", "postgresql://admin:pw@eu-west-1.1a.aws.yugabyte.cloud:5433/yugabyte"
           "?ssl=true&sslmode=verify-full&sslrootcert={ca}",
           "admin", "pw", "eu-west-1.1a.aws.yugabyte.cloud:5433", "yugabyte", FULL),
    Hosted("CloudNativePG", "postgresql://app:pw@shop-rw.default:5432/app?gssencmode=disable",
           "app", "pw", "shop-rw.default:5432", "app", PREFER),
    Hosted("Patroni", "postgresql://app:pw@10.0.0.1:5432,10.0.0.2:5432/app"
           "?target_session_attrs=primary&keepalives=1&keepalives_idle=20&tcp_user_timeout=5000",
           "app", "pw", "10.0.0.1:5432,10.0.0.2:5432", "app", PREFER),
    Hosted("SQLAlchemy's form", "postgresql+asyncpg://app:pw@db:5432/app?ssl=require",
           "app", "pw", "db:5432", "app", REQUIRE),
    Hosted("node-postgres' form", f"postgresql://app:pw@{RDS}/app?sslmode=require"
           "&uselibpqcompat=true",
           "app", "pw", f"{RDS}:5432", "app", REQUIRE),
]  # fmt: skip

ELASTICACHE = "master.shop.ab12cd.euc1.cache.amazonaws.com"
HEROKU = "ec2-34-200-1-2.compute-1.amazonaws.com"
LABS = "redis-12345.c1.eu-west-1-3.ec2.redns.redis-cloud.com"
PLAIN, CHECKED, UNCHECKED = "plain", "checked", "unchecked"

REDIS = [
    Hosted("Upstash", "rediss://default:AbC1dEf@eu1-calm-cod-12345.upstash.io:6379",
           "default", "AbC1dEf", "eu1-calm-cod-12345.upstash.io:6379", "0", CHECKED),
    Hosted("Vercel KV", "rediss://default:pw1@calm-cod-12345.upstash.io:6379",
           "default", "pw1", "calm-cod-12345.upstash.io:6379", "0", CHECKED),
    Hosted("Heroku", f"rediss://:p0123abc@{HEROKU}:31234?ssl_cert_reqs=none",
           None, "p0123abc", f"{HEROKU}:31234", "0", UNCHECKED),
    Hosted("Heroku, for Celery", f"rediss://:p0123abc@{HEROKU}:31234/0?ssl_cert_reqs=CERT_NONE",
           None, "p0123abc", f"{HEROKU}:31234", "0", UNCHECKED),
    Hosted("ElastiCache", f"rediss://{ELASTICACHE}:6379",
           None, None, f"{ELASTICACHE}:6379", "0", CHECKED),
    Hosted("ElastiCache, token", f"rediss://:tok%2Fen1@{ELASTICACHE}:6379/1",
           None, "tok/en1", f"{ELASTICACHE}:6379", "1", CHECKED),
    Hosted("ElastiCache, user", f"rediss://shop:pw@{ELASTICACHE}:6379/0",
           "shop", "pw", f"{ELASTICACHE}:6379", "0", CHECKED),
    Hosted("MemoryDB, endpoint", "rediss://shop:pw@shop-0001-001.shop.ab12cd.memorydb.eu-west-1"
           ".amazonaws.com:6379",
           "shop", "pw", "shop-0001-001.shop.ab12cd.memorydb.eu-west-1.amazonaws.com:6379", "0",
           CHECKED),
    Hosted("Azure", "rediss://:k3y%3D@shop.redis.cache.windows.net:6380/0",
           None, "k3y=", "shop.redis.cache.windows.net:6380", "0", CHECKED),
    Hosted("Azure, key as it is", "rediss://:k3yAbC=@shop.redis.cache.windows.net:6380",
           None, "k3yAbC=", "shop.redis.cache.windows.net:6380", "0", CHECKED),
    Hosted("Azure Managed", "rediss://:k3y%3D@shop.germanywestcentral.redis.azure.net:10000",
           None, "k3y=", "shop.germanywestcentral.redis.azure.net:10000", "0", CHECKED),
    Hosted("Redis Cloud", f"redis://default:pw1@{LABS}:12345",
           "default", "pw1", f"{LABS}:12345", "0", PLAIN),
    Hosted("Redis Cloud, TLS", f"rediss://default:pw1@{LABS}:12345?ssl_ca_certs={{ca}}"
           "&ssl_certfile={crt}&ssl_keyfile={key}",
           "default", "pw1", f"{LABS}:12345", "0", CHECKED),
    Hosted("Render, inside", "redis://red-c1ab2cd3ef:6379",
           None, None, "red-c1ab2cd3ef:6379", "0", PLAIN),
    Hosted("Render, outside", "rediss://red-c1ab:pw@oregon-keyvalue.render.com:6379",
           "red-c1ab", "pw", "oregon-keyvalue.render.com:6379", "0", CHECKED),
    Hosted("Railway", "redis://default:pw@redis.railway.internal:6379",
           "default", "pw", "redis.railway.internal:6379", "0", PLAIN),
    Hosted("Fly, Upstash", "redis://default:pw@fly-shop-redis.upstash.io:6379",
           "default", "pw", "fly-shop-redis.upstash.io:6379", "0", PLAIN),
    Hosted("DigitalOcean", "rediss://default:AVNS_x1@db-valkey-fra1-12345.b.db.ondigitalocean.com"
           ":25061",
           "default", "AVNS_x1", "db-valkey-fra1-12345.b.db.ondigitalocean.com:25061", "0",
           CHECKED),
    Hosted("Aiven", "rediss://default:AVNS_y@valkey-1a2b-shop.a.aivencloud.com:12692",
           "default", "AVNS_y", "valkey-1a2b-shop.a.aivencloud.com:12692", "0", CHECKED),
    Hosted("Memorystore", "rediss://:auth-1a2b@10.0.0.4:6378/0?ssl_ca_certs={ca}",
           None, "auth-1a2b", "10.0.0.4:6378", "0", CHECKED),
    Hosted("Scaleway", "rediss://shop:pw@51.159.10.21:6379?ssl_ca_certs={ca}",
           "shop", "pw", "51.159.10.21:6379", "0", CHECKED),
    Hosted("IBM Cloud", "rediss://admin:pw@1a.2b.databases.appdomain.cloud:31526/0"
           "?ssl_ca_certs={ca}&ssl_check_hostname=true",
           "admin", "pw", "1a.2b.databases.appdomain.cloud:31526", "0", CHECKED),
    Hosted("Dragonfly", "rediss://default:pw@1a2b.dragonflydb.cloud:6385?protocol=2",
           "default", "pw", "1a2b.dragonflydb.cloud:6385", "0", CHECKED),
    Hosted("compose", "redis://:pw@redis:6379/0", None, "pw", "redis:6379", "0", PLAIN),
    Hosted("IPv6", "redis://[::1]:6380/2?client_name=shop", None, None, "::1:6380", "2", PLAIN),
]  # fmt: skip
