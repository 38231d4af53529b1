-- depends: 0005.events
-- Every webhook of an allowed sender. `dedup_key` is what makes a later one the same webhook;
-- a duplicate's own row has none.
CREATE TABLE IF NOT EXISTS `rushes_webhooks` (
  `id` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `dedup_key` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `job_id` VARCHAR(191) NULL,
  `status` VARCHAR(16) NULL,
  `version` VARCHAR(8) NULL,
  `origin` VARCHAR(16) NOT NULL DEFAULT 'webhook',
  `outcome` VARCHAR(16) NOT NULL,
  `attempts` INTEGER NOT NULL,
  `duration_ms` DOUBLE NOT NULL,
  `error_code` VARCHAR(32) NULL,
  `error` TEXT NULL,
  `received_at` DATETIME(6) NOT NULL,
  `headers` MEDIUMTEXT NOT NULL,
  `payload` LONGBLOB NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE INDEX `rushes_webhooks_dedup` (`dedup_key`),
  INDEX `rushes_webhooks_job` (`job_id`, `outcome`),
  INDEX `rushes_webhooks_outcome` (`outcome`, `id`, `job_id`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
