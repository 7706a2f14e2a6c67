-- fragment: template_columns
owner, name, version, workload, form, created_at, created_by

-- name: lock_template
-- Serializes the savings of one owner, so that versions have no gaps and the limit on names holds.
SELECT pg_advisory_xact_lock(hashtextextended('batchyard.templates.' || $1, 0))

-- name: latest_template
SELECT {template_columns} FROM templates WHERE owner = $1 AND name = $2 ORDER BY version DESC LIMIT 1

-- name: count_templates
SELECT count(DISTINCT name) FROM templates WHERE owner = $1

-- name: insert_template
INSERT INTO templates (owner, name, version, workload, form, created_by) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING {template_columns}

-- name: find_template
-- The owner's template goes before a shared one of the same name. $3: version, NULL: the latest.
SELECT {template_columns} FROM templates
WHERE name = $2 AND owner = coalesce(
    (SELECT owner FROM templates WHERE owner = $1 AND name = $2 LIMIT 1), '*'
) AND ($3::int IS NULL OR version = $3)
ORDER BY version DESC LIMIT 1

-- name: template_versions
SELECT {template_columns} FROM templates
WHERE name = $2 AND owner = coalesce(
    (SELECT owner FROM templates WHERE owner = $1 AND name = $2 LIMIT 1), '*'
)
ORDER BY version DESC LIMIT $3

-- name: list_templates
-- The latest version of each; the owner's template goes before a shared one of the same name.
SELECT DISTINCT ON (name) {template_columns} FROM templates
WHERE owner IN ($1, '*') AND name > $2 AND starts_with(name, $4)
ORDER BY name, owner = '*', version DESC LIMIT $3

-- name: delete_template
DELETE FROM templates WHERE owner = $1 AND name = $2

-- name: schedule_with_template
-- Name of a schedule that uses a template; any owner's, if it is a shared one.
SELECT name FROM schedules WHERE ($1 = '*' OR owner = $1) AND form ->> 'template' = $2 LIMIT 1
