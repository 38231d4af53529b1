-- depends: 0020.partial
-- What users did to their jobs: taken off the list of failed ones, or deleted, when and by whom; NULL where they did not.
-- A deleted job's rows stay until RETENTION_DAYS later. MySQL has no ADD COLUMN IF NOT EXISTS, so they are added by a
-- statement made for that. (`has_files` is 2 of a job that was cancelled.)
SET @statement = COALESCE(
  (SELECT 'DO 0' FROM information_schema.COLUMNS
   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'rushes_jobs' AND COLUMN_NAME = 'deleted_at'),
  'ALTER TABLE `rushes_jobs` ADD COLUMN `dismissed_at` DATETIME(6) NULL, ADD COLUMN `deleted_at` DATETIME(6) NULL,
   ADD COLUMN `deleted_by` VARCHAR(191) NULL, ADD INDEX `rushes_jobs_deleted` (`deleted_at`)'
);
PREPARE migration FROM @statement;
EXECUTE migration;
DEALLOCATE PREPARE migration;
