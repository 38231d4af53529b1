-- depends: 0013.exact-requests
-- What makes two orders of one key the same; NULL in what was remembered before. MySQL has no ADD COLUMN IF NOT EXISTS,
-- so it is added by a statement made for that.
SET @statement = COALESCE(
  (SELECT 'DO 0' FROM information_schema.COLUMNS
   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'rushes_requests' AND COLUMN_NAME = 'digest'),
  'ALTER TABLE `rushes_requests` ADD COLUMN `digest` VARBINARY(32) NULL'
);
PREPARE migration FROM @statement;
EXECUTE migration;
