-- The opener looks for the subject of a pseudonym and opens its identities, for a ticket that two people
-- signed. It sees no link: an index of an identity would be an oracle together with the link key.

-- +goose Up
GRANT SELECT (subject_id, sealed_identity) ON vault.subject_link TO hub_opener;
