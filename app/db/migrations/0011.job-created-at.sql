-- depends: 0010.log-name-row
-- The createdAt of the row in video_generations that the key belongs to; NULL in keys from before. MySQL has no
-- ADD COLUMN IF NOT EXISTS, so it is added by a statement made for that.
SET @statement = COALESCE(
  (SELECT 'DO 0' FROM information_schema.COLUMNS
   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'rushes_jobs' AND COLUMN_NAME = 'created_at'),
  'ALTER TABLE `rushes_jobs` ADD COLUMN `created_at` DATETIME(3) NULL'
);
PREPARE migration FROM @statement;
EXECUTE migration;
