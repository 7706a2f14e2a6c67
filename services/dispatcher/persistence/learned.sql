-- name: learned
SELECT name, learned FROM workloads WHERE learned IS NOT NULL

-- name: save_learned
UPDATE workloads SET learned = $2 WHERE name = $1
