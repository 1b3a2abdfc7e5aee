-- Decisions about calls of the same tool by the same caller are found by 'target', a hash of the server, the method and the
-- name. 'outcome' is that of the call that has used the approval, as in audit records. Older rows have neither.
ALTER TABLE approvals ADD COLUMN target TEXT;
ALTER TABLE approvals ADD COLUMN outcome TEXT;
CREATE INDEX approvals_by_target ON approvals (principal, target, created);
