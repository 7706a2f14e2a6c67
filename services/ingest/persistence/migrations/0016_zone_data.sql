-- Version of the data of time zones by which `next_at` was computed; '': unknown.
ALTER TABLE schedules ADD COLUMN zone_data text NOT NULL DEFAULT '';
CREATE INDEX schedules_by_zone_data ON schedules (zone_data) WHERE NOT paused AND next_at IS NOT NULL;
