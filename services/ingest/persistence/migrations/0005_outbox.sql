-- The table of `shared.postgres.outbox`: a row for each message. Messages have no key, and are deleted once they are sent.
ALTER TABLE outbox RENAME TO outbox_before;
CREATE TABLE outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         text,
    exchange    text        NOT NULL,
    routing_key text        NOT NULL,
    type        text        NOT NULL,
    body        bytea       NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    due_at      timestamptz NOT NULL DEFAULT now() + interval '5 seconds',
    sent_at     timestamptz,
    reason      text
);
INSERT INTO outbox (exchange, routing_key, type, body, traceparent, created_at)
SELECT 'batchyard.flow', message.type, message.type, message.body, outbox_before.traceparent, outbox_before.at
FROM outbox_before CROSS JOIN unnest(types, bodies) WITH ORDINALITY AS message (type, body, place)
ORDER BY outbox_before.id, message.place;
DROP TABLE outbox_before;
