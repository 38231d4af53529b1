-- depends: 0016.job-created-at-exact
-- The digits of the newest event, by which it is told from another one of its number, also when its row is gone.
-- `digits_of` is that event's id: versions before this one move the value, and not these. MySQL has no ADD COLUMN IF NOT
-- EXISTS, so they are added by a statement made for that.
SET @statement = COALESCE(
  (SELECT 'DO 0' FROM information_schema.COLUMNS
   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'rushes_counter' AND COLUMN_NAME = 'digits'),
  'ALTER TABLE `rushes_counter` ADD COLUMN `digits_of` BIGINT UNSIGNED NULL,
   ADD COLUMN `digits` VARCHAR(32) NULL'
);
PREPARE migration FROM @statement;
EXECUTE migration;
