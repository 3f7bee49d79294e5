-- What clients of other faces say of credentials and transforms.
ALTER TABLE credentials ADD COLUMN description TEXT;
ALTER TABLE transforms ADD COLUMN description TEXT;
-- What a client means that names no transform: at most one of a project's.
ALTER TABLE transforms ADD COLUMN is_default INTEGER NOT NULL DEFAULT 0;
