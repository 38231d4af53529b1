-- depends: 0024.processes
-- What webhooks are filtered by is read from one index, in the order of receipt, without a look at their rows. MySQL has
-- no way to change an index, so it is made anew by a statement made for that.
SET @statement = COALESCE(
  (SELECT 'DO 0' FROM information_schema.STATISTICS
   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'rushes_webhooks' AND INDEX_NAME = 'rushes_webhooks_outcome'
     AND COLUMN_NAME = 'error_code'),
  'ALTER TABLE `rushes_webhooks` DROP INDEX `rushes_webhooks_outcome`,
   ADD INDEX `rushes_webhooks_outcome`
     (`outcome`, `id`, `job_id`, `duration_ms`, `status`, `version`, `origin`, `error_code`)'
);
PREPARE migration FROM @statement;
EXECUTE migration;
DEALLOCATE PREPARE migration;
