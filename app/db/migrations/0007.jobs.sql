-- depends: 0006.webhooks
-- The order key of the update each job stands at, kept as long as the job. `at` is in microseconds
-- since 1970; `file_keys` maps an s3_key to the [at, tie] of the completion that gave the file its fields.
CREATE TABLE IF NOT EXISTS `rushes_jobs` (
  `job_id` VARCHAR(191) NOT NULL,
  `status` VARCHAR(16) NOT NULL,
  `has_files` TINYINT NOT NULL,
  `at` BIGINT NOT NULL,
  `stage` TINYINT NOT NULL,
  `tie` VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `file_keys` MEDIUMTEXT NULL,
  `updated_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`job_id`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
