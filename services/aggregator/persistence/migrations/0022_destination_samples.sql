-- Numbers of items by destination and by the bucket of their duration: {"a.example": {"27": 4}}. NULL: no item had a
-- destination.
ALTER TABLE samples ADD COLUMN destinations jsonb;
