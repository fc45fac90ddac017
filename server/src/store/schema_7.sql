-- Passwords that users have chosen, as Argon2id hashes: the password's own, and that of the catalogue's password at that
-- time, which tells whether the catalogue's entry was edited since.
CREATE TABLE password (
    user_id  INTEGER PRIMARY KEY,
    hash     TEXT NOT NULL,
    replaced TEXT NOT NULL
) STRICT;
