import { NextResponse } from "next/server";

import type { VideoFile } from "@/generated/prisma/client";
import { prisma } from "@/lib/prisma";
import { userOf } from "@/lib/user";

/** The caller's finished videos, newest first: `?limit=`, 1 to 100, 12 by default. */
export async function GET(request: Request) {
  const authorId = userOf(request);
  if (authorId === null) return NextResponse.json({ error: "Unauthorized" }, { status: 401 });
  const limit = Number(new URL(request.url).searchParams.get("limit") ?? 12);
  if (!Number.isInteger(limit) || limit < 1 || limit > 100) {
    return NextResponse.json({ error: "limit is a number from 1 to 100" }, { status: 400 });
  }
  const videoGenerations = await prisma.videoGeneration.findMany({
    where: { authorId, status: "COMPLETED" },
    include: { videos: true },
    orderBy: { createdAt: "desc" },
    take: limit,
  });
  return NextResponse.json({
    generations: videoGenerations.map((generation) => ({
      id: generation.id,
      prompt: generation.prompt,
      status: generation.status.toLowerCase(),
      created_at: generation.createdAt,
      completed_at: generation.completedAt,
      model: generation.model,
      model_version: generation.modelVersion,
      processing_time: generation.processingTime,
      generation_time: generation.generationTime,
      download_time: generation.downloadTime,
      aspect_ratio: generation.aspectRatio,
      videos: generation.videos.map(shown),
      num_videos: generation.videos.length,
    })),
  });
}

function shown(file: VideoFile) {
  return {
    id: file.id,
    filename: file.filename,
    file_url: file.fileUrl,
    file_path: file.filePath,
    file_size: file.fileSize,
    format: file.format,
    duration_seconds: file.durationSeconds,
    aspect_ratio: file.aspectRatio,
    dimensions: { width: file.width, height: file.height },
    created_at: file.createdAt,
  };
}
