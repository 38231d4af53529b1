-- depends: 0046.changes-log
-- Which received webhooks the transaction has changed that appended the event: 16 bytes for each id, beside its last
-- event; NULL beside all others. MySQL has no ADD COLUMN IF NOT EXISTS, so it is added by a statement made for that.
SET @statement = COALESCE(
  (SELECT 'DO 0' FROM information_schema.COLUMNS
   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'rushes_events' AND COLUMN_NAME = 'webhooks'),
  'ALTER TABLE `rushes_events` ADD COLUMN `webhooks` MEDIUMBLOB NULL'
);
PREPARE migration FROM @statement;
EXECUTE migration;
DEALLOCATE PREPARE migration;
