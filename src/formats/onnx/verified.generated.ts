export interface VerifiedModel {
  readonly name: string;
  readonly dialects: Readonly<Record<string, number | string>>;
  readonly transformersJs: string | null;
}
export const verified: readonly VerifiedModel[] = [];
