// group_rows has no gradient: whole numbers in, whole numbers out.
import type { GradientRule } from "../types.ts";
import type { GroupRowsAttributes } from "./op.ts";

export const gradient: GradientRule<GroupRowsAttributes> = () => [undefined];
