import { headers } from "next/headers";
import { NextResponse } from "next/server";

import { Prisma, type VideoJobStatus } from "@/generated/prisma/client";
import { firstTime, forget } from "@/lib/processed";
import { prisma } from "@/lib/prisma";

interface Payload {
  job_id: string;
  status: string;
  content_type: string;
  data?: {
    videos: Video[];
    metadata?: { prompt_used?: string; model_name?: string; model_version?: string } & Times & Prisma.InputJsonObject;
    generated_at: string;
  };
}

interface Times {
  processing_time?: number;
  generation_time?: number;
  download_time?: number;
}

interface Video {
  filename: string;
  file_path: string;
  file_url: string;
  file_size: number;
  format: string;
  duration_seconds: number;
  aspect_ratio: string;
  dimensions: { width: number; height: number };
}

const UNFINISHED: Record<string, { status: VideoJobStatus; progress: number; message: string }> = {
  pending: { status: "PENDING", progress: 0, message: "En attente de traitement" },
  processing: { status: "PROCESSING", progress: 25, message: "Traitement en cours" },
  generating: { status: "PROCESSING", progress: 50, message: "Génération de la vidéo en cours" },
  downloading: { status: "PROCESSING", progress: 75, message: "Téléchargement de la vidéo depuis Google" },
};

export function GET() {
  return NextResponse.json({ status: "ok" });
}

/** A status of a job, in the form of the product document; 404 if there is no such job. */
export async function POST(request: Request) {
  const start = Date.now();
  if (process.env.NODE_ENV === "production") {
    const expected = process.env.WEBHOOK_SECRET;
    if (!expected || (await headers()).get("x-webhook-secret") !== expected) {
      return NextResponse.json({ error: "Unauthorized: Invalid webhook secret" }, { status: 401 });
    }
  }
  const payload: Payload | null = await request.json().catch(() => null);
  if (!payload?.job_id || !payload.status || payload.content_type !== "video") {
    return NextResponse.json({ error: "Invalid payload" }, { status: 400 });
  }
  const { job_id, status } = payload;
  const key = `${job_id}:${status}`;
  if (!firstTime(key)) return NextResponse.json({ success: true, message: "Already processed", job_id });
  try {
    await apply(payload);
  } catch (error) {
    forget(key);
    const missing = error instanceof Prisma.PrismaClientKnownRequestError && error.code === "P2025";
    return missing
      ? NextResponse.json({ error: "VideoGeneration not found", job_id }, { status: 404 })
      : NextResponse.json({ error: "Internal server error", job_id }, { status: 500 });
  }
  return NextResponse.json({
    success: true,
    message: "Video generation webhook processed successfully",
    job_id,
    num_videos: payload.data?.videos?.length ?? 0,
    processing_time_ms: Date.now() - start,
  });
}

/** Writes what the webhook says of its job. Throws Prisma's P2025 where there is none. */
async function apply({ job_id, status, data }: Payload): Promise<void> {
  const where = { id: job_id };
  if (status.toLowerCase() === "completed") {
    await prisma.videoGeneration.findUniqueOrThrow({ where, select: { authorId: true, organizationId: true } });
  }
  await prisma.videoGeneration.update({ where, data: changes(status.toLowerCase(), data) });
}

function changes(status: string, data: Payload["data"]): Prisma.VideoGenerationUpdateInput {
  const metadata = data?.metadata;
  if (status === "completed" && data) {
    return {
      status: "COMPLETED",
      progress: 100,
      message: "Génération terminée avec succès",
      completedAt: new Date(data.generated_at),
      processingTime: metadata?.processing_time,
      generationTime: metadata?.generation_time,
      downloadTime: metadata?.download_time,
      model: metadata?.model_name || "veo-2.0-generate-001",
      modelVersion: metadata?.model_version || "2.0",
      videos: { create: data.videos.map((video) => fileOf(video, metadata)) },
    };
  }
  if (status === "failed") {
    return {
      status: "FAILED",
      error: metadata?.prompt_used
        ? `Échec de génération pour: "${metadata.prompt_used}"`
        : "Erreur inconnue lors de la génération",
      progress: 0,
      message: "La génération a échoué",
      completedAt: new Date(),
    };
  }
  return UNFINISHED[status] ?? UNFINISHED.pending;
}

function fileOf(video: Video, metadata?: Prisma.InputJsonObject): Prisma.VideoFileCreateWithoutGenerationInput {
  return {
    filename: video.filename,
    s3Key: video.file_path,
    fileUrl: video.file_url,
    filePath: video.file_path,
    fileSize: video.file_size,
    format: video.format,
    durationSeconds: video.duration_seconds,
    aspectRatio: video.aspect_ratio,
    width: video.dimensions.width,
    height: video.dimensions.height,
    metadata,
  };
}
