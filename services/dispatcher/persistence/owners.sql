-- name: weights
SELECT owner, weight FROM owner_weights WHERE weight IS NOT NULL

-- name: save_weight
-- No row if a later change was saved before.
INSERT INTO owner_weights (owner, weight, number) VALUES ($1, $2, $3)
ON CONFLICT (owner) DO UPDATE SET weight = excluded.weight, number = excluded.number
WHERE owner_weights.number < excluded.number
RETURNING owner
