-- +goose Up

-- Of a row, a role changes the columns that its statements change and no other: an event stays with its case
-- and its place in it, a case with its child, a day's sums with their day, and nobody can lock a table of
-- these against readers, which takes the right to change whole rows. What each role may do is written in
-- testdata/privileges.txt, and everything else is tried by a test.
REVOKE UPDATE ON hub.case_file, hub.delivery, hub.ente, hub.product, hub.participant, hub.journal_pair, hub.journal_tile,
  hub.journal_head, hub.key_epoch, hub.key_holder, hub.code_message, hub.maintenance, hub.probe, hub.receiver_slot,
  hub.reconciliation, hub.reconciliation_day, hub.reconciliation_difference, hub.reconciliation_near, hub.reconciliation_turn,
  hub.retention_class, hub.retention_size, hub.retention_turn FROM hub_app;
GRANT UPDATE (events, last_event_at, state, status, incongruent) ON hub.case_file TO hub_app;
-- an erasure leaves nothing that an ente knows the case by
GRANT UPDATE (case_index, sealed_ids, erased_at) ON hub.case_file TO hub_app;
GRANT UPDATE (state, attempts, changed_at, due_at, lease, owner, settled_at, protocol, codes, spared, ready_at)
  ON hub.delivery TO hub_app;
GRANT UPDATE (zone, region, updated_at) ON hub.ente TO hub_app;
GRANT UPDATE (certificate) ON hub.product TO hub_app;
GRANT UPDATE (api_user, password_sha256, updated_at) ON hub.participant TO hub_app;
GRANT UPDATE (leaves) ON hub.journal_pair TO hub_app;
-- The last tile of each level grows. Entries, leaves and checkpoints are only ever added.
GRANT UPDATE (hashes) ON hub.journal_tile TO hub_app;
GRANT UPDATE (size, root) ON hub.journal_head TO hub_app;
GRANT UPDATE (state, active_at, former_at, destroyed_at, told_at) ON hub.key_epoch TO hub_app;
GRANT UPDATE (in_use, seen_at) ON hub.key_holder TO hub_app;
GRANT UPDATE (state, attempts, due_at, lease, settled_at, codes) ON hub.code_message TO hub_app;
GRANT UPDATE (text, until, actor, begun_at) ON hub.maintenance TO hub_app;
GRANT UPDATE (at) ON hub.probe TO hub_app;
GRANT UPDATE (next_at) ON hub.receiver_slot TO hub_app;
GRANT UPDATE (ours, near, theirs, their_digest, state, asked, accepted, not_ours, asked_to, began_at, checked_at)
  ON hub.reconciliation TO hub_app;
GRANT UPDATE (state, checked_at) ON hub.reconciliation_day TO hub_app;
GRANT UPDATE (kind, found_at) ON hub.reconciliation_difference TO hub_app;
GRANT UPDATE (lease, owner, held_until, due_at, done_on, succeeded_at) ON hub.reconciliation_turn TO hub_app;
GRANT UPDATE (oldest_at, held, measured_at) ON hub.retention_class TO hub_app;
GRANT UPDATE (bytes) ON hub.retention_size TO hub_app;
GRANT UPDATE (lease, held_until, due_at, done_on, succeeded_at) ON hub.retention_turn TO hub_app;

-- The application takes tickets back, and the opener alone uses them.
REVOKE INSERT ON hub.ticket_use FROM hub_app;
GRANT INSERT (environment, ticket_id, purpose, requester, approver, expires_at, ticket, revoked_at, revoked_entry)
  ON hub.ticket_use TO hub_app;
REVOKE INSERT ON hub.ticket_use FROM hub_opener;
GRANT INSERT (environment, ticket_id, purpose, requester, approver, expires_at, ticket, used_at, used_entry)
  ON hub.ticket_use TO hub_opener;

-- The vault has a clock of its own (vault.now) since it may stand on another server: its role has nothing to
-- do in this schema. hub_reader's statements ask for no time.
REVOKE USAGE ON SCHEMA hub FROM hub_vault;
REVOKE EXECUTE ON FUNCTION hub.hub_now FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hub.hub_now TO hub_app, hub_opener;
