-- Written by `batchyard rights`; for development, by `python -m devstack.rights_files`: change it there.
DO $$
DECLARE role name;
BEGIN
  FOREACH role IN ARRAY ARRAY['batchyard_ingest', 'batchyard_dispatcher', 'batchyard_aggregator', 'batchyard_notifier'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      EXECUTE format('CREATE ROLE %I', role);
    END IF;
  END LOOP;
END $$;
ALTER ROLE batchyard_ingest LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:3X9aRbP23KaIhUNu43yisA==$xmbVVpQ2LQuX0NCx0HrmolLuGdIAVCw+rPnkdLZJ48E=:qdAES50Cv5eGTZ/PCETNS8AFi7Z87gqxTDHcJJ/xE8o=';
ALTER ROLE batchyard_dispatcher LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:xAZu3SUw1riMjuly8nhTyQ==$nQEYPAvGtnhnyBmEYUDdgz2Em6fy8+B0lCeW0dZ5bjM=:Ah1MTws0NkV+4wBz7EyB0H1yfSQW/lZElRP4h7PADD8=';
ALTER ROLE batchyard_aggregator LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:D1Fp7W798+VTYBv9+r58Ig==$onzwgUIMr6/p6oBHYs10hWLMpHH4XOxT11k9fgsPKVw=:QUhxJYzEAzyz02kCmA/vjf8abzgnS8wQEXzqswOvUx4=';
ALTER ROLE batchyard_notifier LOGIN NOCREATEDB NOCREATEROLE PASSWORD 'SCRAM-SHA-256$4096:kZMaPrXCLE89jNOw54zZtQ==$ZBJHPcBIO4c3OdViZq4obuMwK+o7kW8bq0lICaB06TU=:i91BaztuSds0tr8TA/vm1SwkU7HBRSHjdlf1JGLzjEU=';
DO $$
DECLARE role name; schema name; owned text;
BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  REVOKE ALL ON SCHEMA public FROM PUBLIC;
  FOREACH role IN ARRAY ARRAY['batchyard_ingest', 'batchyard_dispatcher', 'batchyard_aggregator', 'batchyard_notifier'] LOOP
    schema := substr(role, length('batchyard_') + 1);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
    EXECUTE format('GRANT %I TO CURRENT_USER', role);
    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', schema, role);
    EXECUTE format('ALTER SCHEMA %I OWNER TO %I', schema, role);
    FOR owned IN
      SELECT format('TABLE %s', oid::regclass) FROM pg_class
      WHERE relnamespace = schema::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND relowner <> role::regrole
      UNION ALL
      SELECT format('ROUTINE %s', oid::regprocedure) FROM pg_proc
      WHERE pronamespace = schema::regnamespace AND proowner <> role::regrole
    LOOP
      EXECUTE format('ALTER %s OWNER TO %I', owned, role);
    END LOOP;
  END LOOP;
END $$;
