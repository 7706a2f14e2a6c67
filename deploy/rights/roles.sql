DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'batchyard_ingest') THEN
    CREATE ROLE batchyard_ingest;
  END IF;
END $$;
ALTER ROLE batchyard_ingest LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:3X9aRbP23KaIhUNu43yisA==$xmbVVpQ2LQuX0NCx0HrmolLuGdIAVCw+rPnkdLZJ48E=:qdAES50Cv5eGTZ/PCETNS8AFi7Z87gqxTDHcJJ/xE8o=';
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'batchyard_dispatcher') THEN
    CREATE ROLE batchyard_dispatcher;
  END IF;
END $$;
ALTER ROLE batchyard_dispatcher LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:xAZu3SUw1riMjuly8nhTyQ==$nQEYPAvGtnhnyBmEYUDdgz2Em6fy8+B0lCeW0dZ5bjM=:Ah1MTws0NkV+4wBz7EyB0H1yfSQW/lZElRP4h7PADD8=';
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'batchyard_aggregator') THEN
    CREATE ROLE batchyard_aggregator;
  END IF;
END $$;
ALTER ROLE batchyard_aggregator LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:D1Fp7W798+VTYBv9+r58Ig==$onzwgUIMr6/p6oBHYs10hWLMpHH4XOxT11k9fgsPKVw=:QUhxJYzEAzyz02kCmA/vjf8abzgnS8wQEXzqswOvUx4=';
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'batchyard_notifier') THEN
    CREATE ROLE batchyard_notifier;
  END IF;
END $$;
ALTER ROLE batchyard_notifier LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:kZMaPrXCLE89jNOw54zZtQ==$ZBJHPcBIO4c3OdViZq4obuMwK+o7kW8bq0lICaB06TU=:i91BaztuSds0tr8TA/vm1SwkU7HBRSHjdlf1JGLzjEU=';
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
