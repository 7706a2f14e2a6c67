-- Error of the last attempt of an item that is to run again, for people who ask what became of it.
ALTER TABLE retries ADD COLUMN error_code text, ADD COLUMN error_message text;
