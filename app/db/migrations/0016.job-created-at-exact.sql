-- depends: 0015.set-aside
-- The createdAt of a row in video_generations may have microseconds, or none: compared to the digit, it must be kept so.
ALTER TABLE `rushes_jobs` MODIFY COLUMN `created_at` DATETIME(6) NULL;
