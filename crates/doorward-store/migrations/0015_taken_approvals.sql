-- A call that has taken an approval and was not sent yet has the state 'taken'. If it is not sent until the end of its lease,
-- in seconds since 1970, its gateway has ended, and the approval is given back.
ALTER TABLE approvals ADD COLUMN lease BIGINT;

DROP INDEX approvals_open;
CREATE UNIQUE INDEX approvals_open ON approvals (digest) WHERE state = 'waiting' OR state = 'approved' OR state = 'taken';
