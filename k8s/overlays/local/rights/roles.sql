DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'batchyard_ingest') THEN
    CREATE ROLE batchyard_ingest;
  END IF;
END $$;
ALTER ROLE batchyard_ingest LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:3X9aRbP23KaIhUNu43yisA==$XXF9FvkGpCgT1JiUQ25ENyKeY9z8OAu7i47Tg0Bvq5U=:C8cj/hPD0B9utfo1fjUIHQr0xOQZxm2o8LYd6pnj3ng=';
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'batchyard_dispatcher') THEN
    CREATE ROLE batchyard_dispatcher;
  END IF;
END $$;
ALTER ROLE batchyard_dispatcher LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:xAZu3SUw1riMjuly8nhTyQ==$AA6Vro6P+gt6DlBmi38Axqb3p3PZnt5f6YTooa7NCcw=:XoV24NZYtdC5lWSrGWgSUby/Oqk/pViiVbt1qNJGuJU=';
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'batchyard_aggregator') THEN
    CREATE ROLE batchyard_aggregator;
  END IF;
END $$;
ALTER ROLE batchyard_aggregator LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:D1Fp7W798+VTYBv9+r58Ig==$ktusYVSVK93ivJII8paZZ2wWL3HLMHY4aF8A2UrH7Bo=:+Y1J27H0nxnVi47fCmO3hRdpVSbVC7nLMpEOKSU1xUs=';
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'batchyard_notifier') THEN
    CREATE ROLE batchyard_notifier;
  END IF;
END $$;
ALTER ROLE batchyard_notifier LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:kZMaPrXCLE89jNOw54zZtQ==$rKVeyOAHA3GGs3ynPvQfJ9Ff93lWyMy99PHqiN0Od6I=:RopXuX7+Qk6TVYYdSOfretjBcpbv8MatsOpDlvGreVU=';
DO $$ BEGIN EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()); END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO batchyard_ingest', current_database()); END $$;
GRANT batchyard_ingest TO CURRENT_USER;
CREATE SCHEMA IF NOT EXISTS ingest AUTHORIZATION batchyard_ingest;
ALTER SCHEMA ingest OWNER TO batchyard_ingest;
DO $$
DECLARE found record;
BEGIN
  FOR found IN
    SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'ingest' AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relowner <> 'batchyard_ingest'::regrole
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO batchyard_ingest', found.name);
  END LOOP;
  FOR found IN
    SELECT p.oid::regprocedure AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'ingest' AND p.proowner <> 'batchyard_ingest'::regrole
  LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO batchyard_ingest', found.name);
  END LOOP;
END $$;
DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO batchyard_dispatcher', current_database()); END $$;
GRANT batchyard_dispatcher TO CURRENT_USER;
CREATE SCHEMA IF NOT EXISTS dispatcher AUTHORIZATION batchyard_dispatcher;
ALTER SCHEMA dispatcher OWNER TO batchyard_dispatcher;
DO $$
DECLARE found record;
BEGIN
  FOR found IN
    SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'dispatcher' AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relowner <> 'batchyard_dispatcher'::regrole
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO batchyard_dispatcher', found.name);
  END LOOP;
  FOR found IN
    SELECT p.oid::regprocedure AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'dispatcher' AND p.proowner <> 'batchyard_dispatcher'::regrole
  LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO batchyard_dispatcher', found.name);
  END LOOP;
END $$;
DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO batchyard_aggregator', current_database()); END $$;
GRANT batchyard_aggregator TO CURRENT_USER;
CREATE SCHEMA IF NOT EXISTS aggregator AUTHORIZATION batchyard_aggregator;
ALTER SCHEMA aggregator OWNER TO batchyard_aggregator;
DO $$
DECLARE found record;
BEGIN
  FOR found IN
    SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'aggregator' AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relowner <> 'batchyard_aggregator'::regrole
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO batchyard_aggregator', found.name);
  END LOOP;
  FOR found IN
    SELECT p.oid::regprocedure AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'aggregator' AND p.proowner <> 'batchyard_aggregator'::regrole
  LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO batchyard_aggregator', found.name);
  END LOOP;
END $$;
DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO batchyard_notifier', current_database()); END $$;
GRANT batchyard_notifier TO CURRENT_USER;
CREATE SCHEMA IF NOT EXISTS notifier AUTHORIZATION batchyard_notifier;
ALTER SCHEMA notifier OWNER TO batchyard_notifier;
DO $$
DECLARE found record;
BEGIN
  FOR found IN
    SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'notifier' AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relowner <> 'batchyard_notifier'::regrole
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO batchyard_notifier', found.name);
  END LOOP;
  FOR found IN
    SELECT p.oid::regprocedure AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'notifier' AND p.proowner <> 'batchyard_notifier'::regrole
  LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO batchyard_notifier', found.name);
  END LOOP;
END $$;
