-- When the last vote came, in milliseconds since 1970: of decisions within a second, too, the newest is shown first.
ALTER TABLE approvals ADD COLUMN decided BIGINT;
UPDATE approvals SET decided = created * 1000 WHERE votes > 0;
DROP INDEX approvals_by_target;
CREATE INDEX approvals_by_target ON approvals (principal, target, decided);
