-- depends: 0018.asked
-- When the job got to the stage that it is at. MySQL has no ADD COLUMN IF NOT EXISTS, so it is added by a statement made
-- for that.
SET @statement = COALESCE(
  (SELECT 'DO 0' FROM information_schema.COLUMNS
   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'rushes_jobs' AND COLUMN_NAME = 'since'),
  'ALTER TABLE `rushes_jobs` ADD COLUMN `since` DATETIME(6) NULL'
);
PREPARE migration FROM @statement;
EXECUTE migration;
DEALLOCATE PREPARE migration;
