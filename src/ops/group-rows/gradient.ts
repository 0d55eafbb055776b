// group_rows has no gradient: what comes out are whole numbers.
import type { GradientRule } from "../types.ts";
import type { GroupRowsAttributes } from "./op.ts";

export const gradient: GradientRule<GroupRowsAttributes> = () => [undefined];
