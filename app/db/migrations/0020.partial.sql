-- depends: 0019.stage-since
-- What a completion said that brought fewer videos than were asked for, as JSON; NULL of all others. MySQL has no ADD
-- COLUMN IF NOT EXISTS, so it is added by a statement made for that.
SET @statement = COALESCE(
  (SELECT 'DO 0' FROM information_schema.COLUMNS
   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'rushes_jobs' AND COLUMN_NAME = 'partial'),
  'ALTER TABLE `rushes_jobs` ADD COLUMN `partial` TEXT NULL'
);
PREPARE migration FROM @statement;
EXECUTE migration;
DEALLOCATE PREPARE migration;
