-- depends: 0007.jobs
-- What an Idempotency-Key of a user made.
CREATE TABLE IF NOT EXISTS `rushes_requests` (
  `user_id` VARCHAR(191) NOT NULL,
  `idempotency_key` VARCHAR(191) NOT NULL,
  `job_id` VARCHAR(191) NOT NULL,
  `created_at` DATETIME(3) NOT NULL,
  PRIMARY KEY (`user_id`, `idempotency_key`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
