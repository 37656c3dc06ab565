-- What Immich 3.3 makes of 3.2's schema: a person may be shared with a user of another cluster group. The columns are our guess.

CREATE TABLE person_user (
    "ownerId"       uuid NOT NULL,
    "personGroupId" uuid NOT NULL,
    "sharedWithId"  uuid NOT NULL REFERENCES "user" ON UPDATE CASCADE ON DELETE CASCADE,
    "createdAt"     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY ("ownerId", "personGroupId", "sharedWithId"),
    FOREIGN KEY ("ownerId", "personGroupId") REFERENCES person ON UPDATE CASCADE ON DELETE CASCADE
);

-- Who a person is shared with has a row of their own for it, and may call it otherwise.
CREATE FUNCTION person_user_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO person ("ownerId", "personGroupId", name, "birthDate")
    SELECT i."sharedWithId", i."personGroupId", p.name, p."birthDate"
    FROM inserted i JOIN person p ON p."ownerId" = i."ownerId" AND p."personGroupId" = i."personGroupId"
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER person_user_insert AFTER INSERT ON person_user REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION person_user_insert();
