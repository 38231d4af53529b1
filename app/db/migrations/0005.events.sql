-- depends: 0004.counter-row
-- The log: one row for each committed change of a job.
CREATE TABLE IF NOT EXISTS `rushes_events` (
  `id` BIGINT UNSIGNED NOT NULL,
  `job_id` VARCHAR(191) NOT NULL,
  `author_id` VARCHAR(191) NOT NULL,
  `organization_id` VARCHAR(191) NULL,
  `event` VARCHAR(16) NOT NULL,
  `data` MEDIUMTEXT NOT NULL,
  `created_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`id`),
  INDEX `rushes_events_job` (`job_id`, `id`),
  INDEX `rushes_events_author` (`author_id`, `id`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
