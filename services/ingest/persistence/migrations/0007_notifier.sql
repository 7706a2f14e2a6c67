-- The notifications that the notifier which started last can send, as it announced them.
CREATE TABLE notifier (
    only_row int PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    announcement text NOT NULL
);
